#!/usr/bin/env node
// Writes the OpenAPI document, as `GET /openapi.json` answers it, to the file named.
import * as fs from "node:fs"
import { contract } from "./contract.mjs"

const [file] = process.argv.slice(2)
if (file === undefined) throw new Error("Usage: openapi.mjs FILE")
const { document } = await contract()
fs.writeFileSync(file, JSON.stringify(document, undefined, 2))
