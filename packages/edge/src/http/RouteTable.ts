/**
 * Which methods a path has, read from the contract: so that an unknown path is 404 and a wrong method 405 with `Allow`
 * before a body is read. Paths are compared exactly: no other letter case, no trailing or double slash.
 */
import * as HttpApi from "@effect/platform/HttpApi"
import { Api } from "@floodgate/contracts/http/Api"
import { permissionOf } from "@floodgate/contracts/http/Auth"
import { BodyBytes, RawBody } from "@floodgate/contracts/http/RawBody"
import type { Permission } from "@floodgate/contracts/Roles"
import * as Context from "effect/Context"

export interface Route {
  readonly method: string
  /** As in the contract: `/orders/:order_num`. */
  readonly path: string
  /** Whether the body isn't JSON, and is handed on unparsed. */
  readonly rawBody: boolean
  /** The largest body that it takes. */
  readonly bodyBytes: number
  /** What its caller must hold; undefined where it asks for none. */
  readonly permission: Permission | undefined
}

export type Match =
  | { readonly _tag: "Found"; readonly route: Route }
  | { readonly _tag: "WrongMethod"; readonly allow: ReadonlyArray<string> }
  | { readonly _tag: "Unknown" }
  /** A percent escape that isn't UTF-8, or hides a NUL. */
  | { readonly _tag: "Malformed" }

interface Template {
  readonly segments: ReadonlyArray<string>
  readonly routes: Map<string, Route>
}

const unknown: Match = { _tag: "Unknown" }
const malformed: Match = { _tag: "Malformed" }

const isParameter = (segment: string): boolean => segment.startsWith(":")

const readable = (segment: string): boolean => {
  if (!segment.includes("%")) return true
  try {
    return !decodeURIComponent(segment).includes("\0")
  } catch {
    return false
  }
}

const fits = (template: Template, segments: ReadonlyArray<string>): boolean =>
  template.segments.length === segments.length &&
  template.segments.every((expected, i) =>
    isParameter(expected) ? segments[i] !== "" : expected === segments[i],
  )

const found = (template: Template, method: string): Match => {
  const route = template.routes.get(method) ?? (method === "HEAD" ? template.routes.get("GET") : undefined)
  if (route !== undefined) return { _tag: "Found", route }
  const methods = [...template.routes.keys()]
  const allow = [...methods, ...(template.routes.has("GET") ? ["HEAD"] : []), "OPTIONS"]
  return { _tag: "WrongMethod", allow }
}

export interface RouteTable {
  /** `path` is the request's, without its query. */
  readonly match: (method: string, path: string) => Match
  readonly routes: ReadonlyArray<Route>
}

export const make = (): RouteTable => {
  const templates = new Map<string, Template>()
  const routes: Array<Route> = []
  HttpApi.reflect(Api, {
    onGroup: () => {},
    onEndpoint: ({ endpoint, mergedAnnotations, middleware }) => {
      const route = {
        method: endpoint.method,
        path: endpoint.path,
        rawBody: Context.get(mergedAnnotations, RawBody),
        bodyBytes: Context.get(mergedAnnotations, BodyBytes),
        permission: [...middleware].map(permissionOf).find((name) => name !== undefined),
      }
      routes.push(route)
      const template = templates.get(endpoint.path) ?? {
        segments: endpoint.path.slice(1).split("/"),
        routes: new Map(),
      }
      template.routes.set(endpoint.method, route)
      templates.set(endpoint.path, template)
    },
  })
  const exact = new Map([...templates].filter(([path]) => !path.includes("/:")))
  const patterns = [...templates.values()].filter((template) => template.segments.some(isParameter))
  return {
    routes,
    match: (method, path) => {
      const fixed = exact.get(path)
      if (fixed !== undefined) return found(fixed, method)
      const segments = path.slice(1).split("/")
      const template = patterns.find((candidate) => fits(candidate, segments))
      if (template === undefined) return unknown
      return segments.every(readable) ? found(template, method) : malformed
    },
  }
}
