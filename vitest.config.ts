import { defineConfig } from "vitest/config"

const conditions = ["@floodgate/source"]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    globalSetup: ["packages/stack/src/testing/globalSetup.ts"],
    include: ["packages/*/src/**/*.test.ts"],
    pool: "forks",
    poolOptions: { forks: { maxForks: 2, minForks: 1 } },
    // Machines are small and noisy: generous in time, strict in results.
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
})
