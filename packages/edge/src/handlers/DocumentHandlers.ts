/** What stands outside the envelope. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as OpenApi from "@effect/platform/OpenApi"
import { NotFound } from "@floodgate/contracts/errors/Errors"
import { Api, RestApi } from "@floodgate/contracts/http/Api"
import * as Effect from "effect/Effect"
import { TokenVerifier } from "../auth/TokenVerifier.ts"
import * as ErrorPage from "./ErrorPage.ts"

// Half of the time for which a new key is published before it signs.
const JWKS_CACHE = "public, max-age=30"

const document = (body: string, contentType: string, cacheControl: string) =>
  HttpServerResponse.text(body, { contentType, headers: { "cache-control": cacheControl } })

export const layer = HttpApiBuilder.group(RestApi, "documents", (handlers) =>
  Effect.gen(function* () {
    const verifier = yield* TokenVerifier
    const openapi = document(JSON.stringify(OpenApi.fromApi(Api)), "application/json", "no-cache")
    return handlers
      .handleRaw("jwks", () =>
        Effect.map(verifier.jwks, (jwks) => document(jwks, "application/jwk-set+json", JWKS_CACHE)),
      )
      .handleRaw("openapi", () => Effect.succeed(openapi))
      .handleRaw("error", ({ path }) => {
        const page = ErrorPage.of(path.code)
        return page === undefined
          ? Effect.fail(new NotFound({}))
          : Effect.succeed(document(page, "text/html; charset=utf-8", "public, max-age=3600"))
      })
  }),
)
