/** Where identity is, and the credential that a command calls it with. */
import { type Environment, given } from "../Engines.ts"
import * as Secrets from "../Secrets.ts"
import { StackError } from "../StackError.ts"
import * as Control from "../supervisor/Control.ts"
import type { Status } from "../supervisor/Status.ts"
import type { Setting } from "./Setting.ts"

/** IDENTITY_URL and SERVICE_CREDENTIAL_FILE as the environment says, else, in dev, the running stack's. */
export const environment = async ({ env, dataDir, root }: Setting): Promise<Environment> => {
  const said = { FLOODGATE_ROOT: root, ...env }
  const isDev = (given(env, "APP_ENV") ?? "dev") === "dev"
  if (!isDev || given(env, "IDENTITY_URL") !== undefined) return said
  const { identity } = (await Control.ask(dataDir, "GET", "/status")) as Status
  if (identity?.url === undefined) throw new StackError(`The stack in ${dataDir} runs no identity service.`)
  return {
    ...said,
    IDENTITY_URL: identity.url.replace(/^grpc:\/\//, ""),
    SERVICE_CREDENTIAL_FILE: Secrets.load(dataDir).SERVICE_CREDENTIAL_FILE,
  }
}
