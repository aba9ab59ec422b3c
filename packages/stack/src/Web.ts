/** The web pages: built in a process of their own, because the bundler is large and most starts don't need it. */
import { execFile } from "node:child_process"
import * as path from "node:path"
import { StackError } from "./StackError.ts"

/** The longest that a build may take (ms): on a small machine that starts everything else, too. */
const LIMIT_MS = 300_000

/** Builds them where their sources have changed; answers with the folder. Fails with the end of what the build said. */
export const build = (root: string): Promise<string> =>
  new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [path.join(root, "packages", "web", "bin", "build.mjs")],
      { cwd: root, timeout: LIMIT_MS, maxBuffer: 4 * 1024 * 1024 },
      (error, stdout, stderr) => {
        const folder = stdout.trimEnd().split("\n").at(-1)
        if (error === null && folder) resolve(folder)
        else reject(new StackError((stderr || stdout || String(error)).trimEnd().slice(-2_000)))
      },
    )
  })
