// The contract's code, run: for what is made from it.
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { build } from "esbuild"

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..")

/** The contract, evaluated: its OpenAPI document, the rows of the catalogue, and what each role permits. */
export const contract = async () => {
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
