import * as HttpApi from "@effect/platform/HttpApi"
import * as OpenApi from "@effect/platform/OpenApi"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { catalogue, type Reason, reasons } from "../errors/Catalogue.ts"
import { Busy, InvalidInput, SoldOut } from "../errors/Errors.ts"
import { permissions } from "../Roles.ts"
import { Api } from "./Api.ts"
import { permission, permissionOf, signedIn } from "./Auth.ts"
import { Envelope, Failure } from "./Envelope.ts"

describe("Envelope", () => {
  const Answer = Envelope(Schema.Struct({ n: Schema.Int }), { status: 201 })

  it.effect("wraps data, and takes it out again", () =>
    Effect.gen(function* () {
      const body = yield* Schema.encode(Answer)({ n: 1 })
      assert.deepStrictEqual(body, { code: 0, msg: "ok", data: { n: 1 } })
      assert.deepStrictEqual(yield* Schema.decode(Answer)(body), { n: 1 })
    }),
  )

  it.effect("data that breaks its schema is a defect, not a failure", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Schema.encode(Answer)({ n: 1.5 }))
      assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
    }),
  )
})

describe("Failure", () => {
  it("every error travels as code, msg and data, and comes out as it went in", () => {
    for (const error of [new SoldOut({ left: 2 }), InvalidInput.at("a", "b"), new Busy({ order_num: "n" })]) {
      const reason = reasons.find((name) => catalogue[name].code === codeOf(error))!
      const schema = Failure(reason) as Schema.Schema<any, any>
      const body = Schema.encodeSync(schema)(error)
      assert.deepStrictEqual(Object.keys(body), ["code", "msg", "data"])
      assert.deepStrictEqual(Schema.decodeSync(schema)(body), error)
    }
  })

  const codeOf = (error: SoldOut | InvalidInput | Busy): number =>
    error._tag === "SoldOut" ? 510 : error._tag === "Busy" ? 530 : 400
})

describe("Auth", () => {
  it("one tag a permission, and its name can be read from it", () => {
    for (const name of permissions) {
      assert.strictEqual(permission(name), permission(name))
      assert.strictEqual(permissionOf(permission(name)), name)
    }
    assert.isUndefined(permissionOf(signedIn))
  })
})

describe("Api", () => {
  it("every failure of an endpoint has the status that the catalogue gives it", () => {
    HttpApi.reflect(Api, {
      onGroup: () => {},
      onEndpoint: ({ endpoint, errors }) => {
        const statuses = new Set(reasons.map((reason: Reason) => catalogue[reason].http as number))
        for (const status of errors.keys()) assert.isTrue(statuses.has(status), `${endpoint.path} ${status}`)
      },
    })
  })

  it("bodies that a client may leave out are not required by the document", () => {
    const paths = OpenApi.fromApi(Api).paths as Record<string, any>
    assert.isFalse(paths["/orders/{order_num}/cancel"].post.requestBody.required)
    assert.isTrue(paths["/orders/{order_num}/pay"].post.requestBody.required)
  })

  it("lists of the console are documented as JSON and as CSV", () => {
    const paths = OpenApi.fromApi(Api).paths as Record<string, any>
    for (const path of ["/admin/users", "/admin/audit"]) {
      const { content } = paths[path].get.responses["200"]
      assert.sameMembers(Object.keys(content), ["application/json", "text/csv"])
      const names = paths[path].get.parameters.map((parameter: any) => parameter.name)
      assert.includeMembers(names, ["limit", "cursor", "from", "to", "format"])
    }
  })

  it("every write of the console asks for a reason", () => {
    const { components, paths } = OpenApi.fromApi(Api) as any
    for (const [path, methods] of Object.entries<any>(paths)) {
      if (!path.startsWith("/admin/")) continue
      for (const method of ["post", "put", "patch", "delete"]) {
        if (methods[method] === undefined) continue
        // A picture is its own body, and shown by nothing yet: what shows it asks.
        if (path === "/admin/media") continue
        const { $ref } = methods[method].requestBody.content["application/json"].schema
        const payload = components.schemas[$ref.split("/").at(-1)]
        assert.include(payload.required, "reason", `${method} ${path}`)
        assert.deepInclude(payload.properties.reason, { minLength: 1, maxLength: 500 })
        assert.isFalse(payload.additionalProperties)
      }
    }
  })
})
