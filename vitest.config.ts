import { defineConfig } from "vitest/config"

const conditions = ["@floodgate/source"]

const shared = {
  resolve: { conditions },
  ssr: { resolve: { conditions } },
}

// Machines are small and noisy: generous in time, strict in results.
const limits = {
  testTimeout: 60_000,
  hookTimeout: 180_000,
  teardownTimeout: 60_000,
}

export default defineConfig({
  ...shared,
  test: {
    // Logs are printed only where a test fails.
    silent: "passed-only",
    projects: [
      {
        ...shared,
        test: {
          name: "packages",
          include: ["packages/*/src/**/*.test.ts"],
          exclude: [
            "packages/e2e/**",
            "packages/simulation/src/**/!(*.contract).test.ts",
            "**/node_modules/**",
          ],
          globalSetup: ["packages/stack/src/testing/globalSetup.ts"],
          pool: "forks",
          poolOptions: { forks: { maxForks: 2, minForks: 1 } },
          ...limits,
        },
      },
      {
        ...shared,
        test: {
          // Needs no engines: the whole sale is played in one process.
          name: "simulation",
          include: ["packages/simulation/src/**/*.test.ts"],
          exclude: ["packages/simulation/src/**/*.contract.test.ts", "**/node_modules/**"],
          pool: "forks",
          poolOptions: { forks: { maxForks: 2, minForks: 1 } },
          ...limits,
        },
      },
      {
        ...shared,
        test: {
          name: "e2e",
          include: ["packages/e2e/src/**/*.test.ts"],
          exclude: ["packages/e2e/src/{faults,browser,ops}/**", "**/node_modules/**"],
          globalSetup: ["packages/e2e/src/support/globalSetup.ts"],
          pool: "forks",
          // One stack serves all files, and some of them stop parts of it.
          fileParallelism: false,
          ...limits,
          testTimeout: 120_000,
        },
      },
      {
        ...shared,
        test: {
          // What operators rely on: the watchers of a stack, and a release that is installed. Each file has a stack of its
          // own, and wants the machine for itself.
          name: "ops",
          include: ["packages/e2e/src/ops/**/*.test.ts"],
          pool: "forks",
          fileParallelism: false,
          ...limits,
          testTimeout: 120_000,
        },
      },
      {
        ...shared,
        test: {
          // `pnpm test:faults`: it starts stacks of its own and wants the machine for itself.
          name: "faults",
          include: ["packages/e2e/src/faults/**/*.test.ts"],
          pool: "forks",
          fileParallelism: false,
          ...limits,
        },
      },
      {
        ...shared,
        test: {
          // Real browsers on a stack of its own; run by itself: vitest run --project browser.
          name: "browser",
          include: ["packages/e2e/src/browser/**/*.test.ts"],
          globalSetup: ["packages/e2e/src/browser/globalSetup.ts"],
          pool: "forks",
          fileParallelism: false,
          ...limits,
        },
      },
    ],
  },
})
