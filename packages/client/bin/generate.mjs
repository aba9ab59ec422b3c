#!/usr/bin/env node
// Writes what the client takes from the contract: types of every route, the catalogue of errors, and the table of roles.
// With a folder as its argument it writes there instead, so that a check can compare.
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import openapiTS, { astToString } from "openapi-typescript"
import { contract } from "./contract.mjs"

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..")
const target = path.resolve(process.argv[2] ?? path.join(root, "packages/client/src/gen"))

const { catalogue, document, permissionsOf } = await contract()

const header = "// Generated from the contract by packages/client/bin/generate.mjs; don't edit.\n"

const api = `${header}${astToString(await openapiTS(document, { alphabetize: true }))}`

const rows = Object.entries(catalogue).map(
  ([reason, { code, http, en, zh, action }]) =>
    `  ${code}: ${JSON.stringify({ reason, http, en, zh, action })},`,
)
const errors = `${header}
/** Every error of the contract by its code: the HTTP status, words to show, and what a client does about it. */
export const catalogue = {
${rows.join("\n")}
} as const

export type ErrorCode = keyof typeof catalogue
`

const rolesTable = `${header}
/** What each role permits; an account may have several. The edge and the services decide by the same table. */
export const permissionsOf = ${JSON.stringify(
  Object.fromEntries(Object.entries(permissionsOf).map(([role, permitted]) => [role, [...permitted]])),
  null,
  2,
)} as const

export type Role = keyof typeof permissionsOf

/** Every permission there is: an administrator has them all. */
export type Permission = (typeof permissionsOf)["admin"][number]
`

fs.mkdirSync(target, { recursive: true })
fs.writeFileSync(path.join(target, "Api.ts"), api)
fs.writeFileSync(path.join(target, "Catalogue.ts"), errors)
fs.writeFileSync(path.join(target, "Roles.ts"), rolesTable)
