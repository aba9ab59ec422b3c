/** How the pages are built: two documents, no inline script or style, the client from its source. */
import * as path from "node:path"
import react from "@vitejs/plugin-react"
import { defineConfig, type Plugin } from "vite"

const page = (name: string): string => path.join(import.meta.dirname, `${name}.html`)

/** antd's styles go where the content policy lets them: see the module that is put in. */
const constructedStyleSheets: Plugin = {
  name: "constructed-style-sheets",
  enforce: "pre",
  resolveId: (id) =>
    /(^|\/)Dom\/dynamicCSS(\.js)?$/.test(id)
      ? path.join(import.meta.dirname, "src/console/look/styleSheets.ts")
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
