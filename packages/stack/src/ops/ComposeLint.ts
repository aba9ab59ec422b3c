/** Docker's own reader of Compose files (compose-go), built once per user from `ops/lint`. */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Install from "../engines/Install.ts"

/** The Go compiler; undefined where there is none. */
export const findGo = (): string | undefined =>
  Install.findProgram("go") ?? (fs.existsSync("/usr/local/go/bin/go") ? "/usr/local/go/bin/go" : undefined)

/** Builds it where it isn't yet; answers what checks a file and fails with what is wrong with it. */
export const build = async (root: string, go: string): Promise<(file: string) => Promise<void>> => {
  const home = path.join(root, "ops", "lint")
  const hash = createHash("sha256")
  for (const name of ["go.mod", "go.sum", "main.go"]) hash.update(fs.readFileSync(path.join(home, name)))
  const binary = Install.cacheFolder("lint", `compose-${hash.digest("hex").slice(0, 12)}`)
  if (!fs.existsSync(binary)) {
    fs.mkdirSync(path.dirname(binary), { recursive: true })
    const building = `${binary}.building-${process.pid}`
    try {
      await Install.runProgram(go, ["build", "-trimpath", "-o", building, "."], {
        cwd: home,
        timeoutMs: 500_000,
      })
      fs.renameSync(building, binary)
    } finally {
      fs.rmSync(building, { force: true })
    }
  }
  return (file) => Install.runProgram(binary, [file], { timeoutMs: 30_000 })
}
