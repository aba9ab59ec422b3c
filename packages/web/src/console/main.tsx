/** The console: its door. */
import { StrictMode } from "react"
import { createRoot } from "react-dom/client"
import { LanguageProvider } from "../texts/Language.tsx"

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <LanguageProvider>
      <main>
        <h1>Floodgate console</h1>
        <p>
          <a href="/">Storefront</a>
        </p>
      </main>
    </LanguageProvider>
  </StrictMode>,
)
