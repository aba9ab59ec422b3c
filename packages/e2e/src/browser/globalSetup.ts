/**
 * One stack and one browser for all browser tests. `FLOODGATE_BROWSER_URL` names an edge that runs already, with its
 * demo accounts.
 */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Chromium from "@floodgate/stack/engines/Chromium"
import { chromium } from "playwright-core"
import type { TestProject } from "vitest/node"
import { freeBase, Stack } from "../support/Stack.ts"

declare module "vitest" {
  export interface ProvidedContext {
    shopUrl: string
    /** The stack, where the tests have one of their own: parts of it may be stopped. */
    shopStack: { readonly data: string; readonly portBase: number } | undefined
    /** Where the browser listens for tests. */
    browserEndpoint: string
  }
}

const say = (line: string): void => {
  process.stderr.write(`browser: ${line}\n`)
}

interface Running {
  readonly url: string
  readonly stack: { readonly data: string; readonly portBase: number } | undefined
  readonly stop: () => Promise<void>
}

const startStack = async (): Promise<Running> => {
  const running = process.env["FLOODGATE_BROWSER_URL"]
  if (running !== undefined && running !== "") {
    return { url: running, stack: undefined, stop: async () => {} }
  }
  const data = await mkdtemp(join(tmpdir(), "floodgate-browser-"))
  const stack = new Stack(data, await freeBase(1))
  await stack.up()
  return {
    url: stack.url,
    stack: { data, portBase: stack.portBase },
    stop: async () => {
      await stack.down()
      await rm(data, { recursive: true, force: true })
    },
  }
}

export default async function setup(project: TestProject) {
  const executablePath = await Chromium.program(process.env, say)
  const stack = await startStack()
  const browser = await chromium.launchServer({
    executablePath,
    // Its sandbox refuses to run as root, as containers do.
    args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
  })
  project.provide("shopUrl", stack.url)
  project.provide("shopStack", stack.stack)
  project.provide("browserEndpoint", browser.wsEndpoint())
  return async () => {
    await browser.close()
    await stack.stop()
  }
}
