/**
 * What a deployment runs once: `node job.js migrate` and `node job.js topics` before its services, `node job.js admin
 * NAME` when they are there; in the folder that `stack build` made. Exit code 0 when it is done, 1 with a reason when it
 * isn't.
 */
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as Deployment from "./Deployment.ts"
import { given } from "./Engines.ts"
import * as FirstAdmin from "./FirstAdmin.ts"
import { describe, StackError } from "./StackError.ts"

const root = given(process.env, "FLOODGATE_ROOT") ?? path.dirname(fileURLToPath(import.meta.url))

const jobs: Readonly<Record<string, (word: string | undefined) => Promise<string>>> = {
  migrate: async () => Deployment.told(await Deployment.migrate(root, process.env)),
  topics: async () => {
    await Deployment.topics(root, process.env)
    return "The topics are as the contracts say."
  },
  // Whom it is about comes as a word, or, where words can't be given, as FIRST_ADMIN.
  admin: async (word) => {
    const username = word ?? given(process.env, "FIRST_ADMIN")
    if (username === undefined)
      throw new StackError('Who? "job.js admin <name of an account>", or FIRST_ADMIN.')
    return FirstAdmin.grant({ FLOODGATE_ROOT: root, ...process.env }, username)
  },
}

const [name = "", word] = process.argv.slice(2)
const job = jobs[name]
if (job === undefined) {
  process.stderr.write(`Which job? ${Object.keys(jobs).join(", ")}\n`)
  process.exit(1)
}
try {
  process.stdout.write(`${await job(word)}\n`)
  process.exit(0)
} catch (cause) {
  process.stderr.write(`${cause instanceof StackError ? cause.message : describe(cause)}\n`)
  process.exit(1)
}
