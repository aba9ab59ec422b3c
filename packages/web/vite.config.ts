/** How the pages are built: two documents, no inline script or style, the client from its source. */
import * as path from "node:path"
import react from "@vitejs/plugin-react"
import { defineConfig, type Plugin } from "vite"

const page = (name: string): string => path.join(import.meta.dirname, `${name}.html`)

/** The modules by which antd and its icons would add `<style>` elements, which the content policy forbids. */
const ADDS_STYLES = /\/(@rc-component\/util\/es\/Dom\/dynamicCSS|@ant-design\/icons\/es\/cssUtils)\.js$/

const constructedStyleSheets: Plugin = {
  name: "constructed-style-sheets",
  load: (id) =>
    ADDS_STYLES.test(id)
      ? `export * from ${JSON.stringify(path.join(import.meta.dirname, "src/console/look/styleSheets.ts"))}`
      : undefined,
}

export default defineConfig({
  plugins: [constructedStyleSheets, react()],
  resolve: { conditions: ["@floodgate/source", "module", "browser", "development|production"] },
  server: {
    // `vite` beside a running stack: the pages from here, the API from its edge.
    proxy: Object.fromEntries(
      [
        "login",
        "register",
        "token",
        "logout",
        "product",
        "seckill",
        "order",
        "payment",
        "wallet",
        "profile",
        "events",
        "challenge",
        "admin",
        "openapi.json",
      ].map((prefix) => [`/${prefix}`, "http://127.0.0.1:8080"]),
    ),
  },
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    manifest: true,
    sourcemap: false,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 2_000,
    rollupOptions: { input: { storefront: page("index"), console: page("console") } },
  },
  worker: { format: "es" },
})
