/** What keeps a service from starting outside dev: every missing key and every dev secret, named at once. */
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect, inject, it } from "vitest"

const root = fileURLToPath(new URL("../../..", import.meta.url))
const { data } = inject("stack")

/** The bundles that the stack under test was started from. */
const { build } = JSON.parse(readFileSync(join(root, ".build", "stamp.json"), "utf8")) as { build: string }

const start = (service: string, env: Record<string, string>) =>
  new Promise<{ code: number | null; output: string }>((resolve) => {
    execFile(
      process.execPath,
      [join(root, ".build", build, `${service}.js`)],
      {
        cwd: root,
        timeout: 30_000,
        env: { PATH: process.env["PATH"]!, APP_ENV: "prod", FLOODGATE_ROOT: root, ...env },
      },
      (error, stdout, stderr) =>
        resolve({
          code: error === null ? 0 : ((error.code as unknown as number) ?? null),
          output: stdout + stderr,
        }),
    )
  })

describe("production configuration", () => {
  it("a service without its keys does not start, and names all of them", async () => {
    const { code, output } = await start("ordering", {})
    expect(code).toBe(1)
    for (const key of [
      "MYSQL_URL_ORDERING",
      "ORDER_NUM_KEY",
      "SERVICE_CREDENTIAL_FILE",
      "INVENTORY_URL",
      "PAYMENT_URL",
    ])
      expect(output).toContain(key)
  })

  it("a service with development secrets does not start, and names all of them, without showing one", async () => {
    const credential = join(data, "secrets", "service-credential.json")
    const { code, output } = await start("ordering", {
      ORDER_NUM_KEY: "dev-only-order-num-key-that-everybody-knows",
      SERVICE_CREDENTIAL_FILE: credential,
      MYSQL_URL_ORDERING: "mysql://ordering:hunter2-is-secret@127.0.0.1:1/ordering",
    })
    expect(code).toBe(1)
    for (const key of ["ORDER_NUM_KEY", "SERVICE_CREDENTIAL_FILE", "INVENTORY_URL"])
      expect(output).toContain(key)
    expect(output).not.toContain("that-everybody-knows")
    expect(output).not.toContain("hunter2")
    for (const secret of (JSON.parse(readFileSync(credential, "utf8")) as { keys: Array<string> }).keys)
      expect(output).not.toContain(secret)
  })
})
