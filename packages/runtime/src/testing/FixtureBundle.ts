/** Fixtures that tests run as processes of their own: as services run, one bundle and plain node. */
import { execFileSync } from "node:child_process"
import * as Path from "node:path"

/** Bundles a fixture's source into `outfile` (`.mjs`). Throws where it can't be built. */
export const bundleFixture = (source: string, outfile: string): void => {
  execFileSync(
    Path.resolve("node_modules/.bin/esbuild"),
    [
      source,
      "--bundle",
      "--format=esm",
      "--platform=node",
      "--target=node20",
      "--conditions=@floodgate/source",
      "--external:@opentelemetry/exporter-jaeger",
      "--banner:js=import{createRequire as r}from'node:module';const require=r(import.meta.url);",
      "--log-level=error",
      `--outfile=${outfile}`,
    ],
    { stdio: "inherit" },
  )
}
