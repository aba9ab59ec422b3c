/**
 * What a deployment runs once, before its services: `node job.js migrate` or `node job.js topics`, in the folder that
 * `stack build` made. Exit code 0 when it is done, 1 with a reason when it isn't.
 */
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as Deployment from "./Deployment.ts"
import { given } from "./Engines.ts"
import { describe, StackError } from "./StackError.ts"

const root = given(process.env, "FLOODGATE_ROOT") ?? path.dirname(fileURLToPath(import.meta.url))

const jobs: Readonly<Record<string, () => Promise<string>>> = {
  migrate: async () => Deployment.told(await Deployment.migrate(root, process.env)),
  topics: async () => {
    await Deployment.topics(root, process.env)
    return "The topics are as the contracts say."
  },
}

const [name = ""] = process.argv.slice(2)
const job = jobs[name]
if (job === undefined) {
  process.stderr.write(`Which job? ${Object.keys(jobs).join(" or ")}\n`)
  process.exit(1)
}
try {
  process.stdout.write(`${await job()}\n`)
  process.exit(0)
} catch (cause) {
  process.stderr.write(`${cause instanceof StackError ? cause.message : describe(cause)}\n`)
  process.exit(1)
}
