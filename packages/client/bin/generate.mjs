#!/usr/bin/env node
// Writes what the client takes from the contract: types of every route, the catalogue of errors, and the table of roles.
// With a folder as its argument it writes there instead, so that a check can compare.
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { build } from "esbuild"
import openapiTS, { astToString } from "openapi-typescript"

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..")
const target = path.resolve(process.argv[2] ?? path.join(root, "packages/client/src/gen"))

/** The contract, evaluated: its OpenAPI document, the rows of the catalogue, and what each role permits. */
const contract = async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "floodgate-contract-"))
  try {
    const outfile = path.join(folder, "contract.mjs")
    await build({
      stdin: {
        contents: `
          import * as OpenApi from "@effect/platform/OpenApi"
          import { catalogue } from "@floodgate/contracts/errors/Catalogue"
          import { Api } from "@floodgate/contracts/http/Api"
          import { permissionsOf } from "@floodgate/contracts/Roles"
          export const document = OpenApi.fromApi(Api)
          export { catalogue, permissionsOf }`,
        resolveDir: path.join(root, "packages/client"),
        loader: "ts",
      },
      outfile,
      bundle: true,
      format: "esm",
      platform: "node",
      target: "node20",
      conditions: ["@floodgate/source"],
      logLevel: "silent",
      banner: {
        js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
      },
    })
    return await import(pathToFileURL(outfile).href)
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

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
