/** What Vitest's global set-up provides to every test file. Declared here so that this package's tests see it too. */
declare module "vitest" {
  export interface ProvidedContext {
    mysqlUrl: string
    kafkaBrokers: string | undefined
    redisServerBinary: string
  }
}

export { inject } from "vitest"
