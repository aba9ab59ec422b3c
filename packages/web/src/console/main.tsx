/** The console. */
import { FloodgateError } from "@floodgate/client/FloodgateError"
import { QueryClient, QueryClientProvider } from "@tanstack/react-query"
import { RouterProvider } from "@tanstack/react-router"
import { StrictMode } from "react"
import { createRoot } from "react-dom/client"
import * as Live from "../live/Live.ts"
import { onUser } from "../session/Session.ts"
import { LanguageProvider } from "../texts/Language.tsx"
import { Look } from "./look/Look.tsx"
import { router } from "./router.tsx"
import { words } from "./texts/words.ts"
import "./look/console.css"

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 1_000,
      // The client has already repeated what may be repeated; answers are final.
      retry: (failures, error) => failures < 2 && !(error instanceof FloodgateError),
    },
    mutations: { retry: false },
  },
})
Live.connect(queries)
// What somebody saw is nobody else's to see.
onUser(() => queries.clear())

// A release has taken away what this page would load next.
addEventListener("vite:preloadError", () => location.reload())

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <LanguageProvider words={words}>
      <Look>
        <QueryClientProvider client={queries}>
          <RouterProvider router={router as never} />
        </QueryClientProvider>
      </Look>
    </LanguageProvider>
  </StrictMode>,
)
