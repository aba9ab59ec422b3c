/** One real stack for all black-box tests, started as a person would, on free ports with a data folder of its own. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { TestProject } from "vitest/node"
import { freeBase, Stack } from "./Stack.ts"

declare module "vitest" {
  export interface ProvidedContext {
    stack: { readonly data: string; readonly portBase: number }
  }
}

export default async function setup(project: TestProject) {
  const data = await mkdtemp(join(tmpdir(), "floodgate-e2e-"))
  const portBase = await freeBase(2)
  const stack = new Stack(data, portBase)
  await stack.up()
  project.provide("stack", { data, portBase })
  return async () => {
    await stack.down()
    await rm(data, { recursive: true, force: true })
  }
}
