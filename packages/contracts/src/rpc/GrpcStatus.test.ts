import { create, toBinary } from "@bufbuild/protobuf"
import { anyPack } from "@bufbuild/protobuf/wkt"
import { assert, describe, it } from "@effect/vitest"
import { Metadata, status } from "@grpc/grpc-js"
import * as Cause from "effect/Cause"
import * as FiberId from "effect/FiberId"
import { catalogue } from "../errors/Catalogue.ts"
import * as Errors from "../errors/Errors.ts"
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts"
import { StatusSchema } from "../gen/google/rpc/status_pb.ts"
import * as GrpcStatus from "./GrpcStatus.ts"

const detailsOf = (info: { reason: string; domain: string; metadata?: Record<string, string> }): Metadata => {
  const metadata = new Metadata()
  const details = [anyPack(ErrorInfoSchema, create(ErrorInfoSchema, info))]
  metadata.set(
    "grpc-status-details-bin",
    Buffer.from(toBinary(StatusSchema, create(StatusSchema, { details }))),
  )
  return metadata
}

describe("GrpcStatus", () => {
  it("carries the catalogue's status, its words, and the error's data", () => {
    const sent = new Errors.SoldOut({ left: 3 })
    const wire = GrpcStatus.fromError(sent)
    assert.strictEqual(wire.code, status[catalogue.SOLD_OUT.grpc])
    assert.strictEqual(wire.details, catalogue.SOLD_OUT.en)
    const got = GrpcStatus.toError(wire.metadata)
    assert.instanceOf(got, Errors.SoldOut)
    assert.strictEqual(got.left, 3)
  })

  it("finds the error also where a library hands over bytes that aren't a Buffer's own", () => {
    const wire = GrpcStatus.fromError(new Errors.WrongState({ state: "paid" }))
    const [bytes] = wire.metadata.get("grpc-status-details-bin") as [Buffer]
    const metadata = new Metadata()
    metadata.set("grpc-status-details-bin", Buffer.concat([Buffer.alloc(3), bytes]).subarray(3))
    assert.deepStrictEqual(GrpcStatus.toError(metadata), new Errors.WrongState({ state: "paid" }))
  })

  it("leaves data behind that would burst the trailers, and the caller still learns the status", () => {
    const wire = GrpcStatus.fromError(Errors.InvalidInput.at("name", "x".repeat(20_000)))
    assert.strictEqual(wire.code, status.INVALID_ARGUMENT)
    assert.isBelow((wire.metadata.get("grpc-status-details-bin")[0] as Buffer).length, 1_000)
  })

  it("takes no error from another domain, of an unknown reason, with data that doesn't fit, or from noise", () => {
    assert.isUndefined(GrpcStatus.toError(new Metadata()))
    assert.isUndefined(GrpcStatus.toError(detailsOf({ reason: "SOLD_OUT", domain: "example.com" })))
    assert.isUndefined(GrpcStatus.toError(detailsOf({ reason: "NEWER", domain: "floodgate" })))
    const withData = (data: string) =>
      GrpcStatus.toError(detailsOf({ reason: "SOLD_OUT", domain: "floodgate", metadata: { data } }))
    assert.isUndefined(withData('{"left":"many"}'))
    assert.isUndefined(withData("{"))
    const noise = new Metadata()
    noise.set("grpc-status-details-bin", Buffer.from([0xff, 0xff, 0xff]))
    assert.isUndefined(GrpcStatus.toError(noise))
  })

  it("tells a failure, an interruption and a defect apart, and of a defect nothing else", () => {
    assert.strictEqual(GrpcStatus.fromCause(Cause.fail(new Errors.NotFound())).code, status.NOT_FOUND)
    assert.strictEqual(GrpcStatus.fromCause(Cause.interrupt(FiberId.none)).code, status.CANCELLED)
    for (const cause of [
      Cause.die(new Error("secret")),
      Cause.fail(new Error("secret")),
      Cause.parallel(Cause.die("secret"), Cause.interrupt(FiberId.none)),
    ]) {
      const wire = GrpcStatus.fromCause(cause)
      assert.strictEqual(wire.code, status.INTERNAL)
      assert.strictEqual(wire.details, "internal")
      assert.deepStrictEqual(wire.metadata.toJSON(), {})
    }
  })

  it("turns a status without a typed error into what a caller can act on", () => {
    for (const code of [status.UNAVAILABLE, status.DEADLINE_EXCEEDED, status.CANCELLED]) {
      assert.instanceOf(GrpcStatus.fromTransport(code), Errors.Busy)
    }
    assert.instanceOf(GrpcStatus.fromTransport(status.UNAUTHENTICATED), Errors.Unauthenticated)
    for (const code of [status.UNIMPLEMENTED, status.UNKNOWN, status.INTERNAL, status.RESOURCE_EXHAUSTED]) {
      assert.instanceOf(GrpcStatus.fromTransport(code), Errors.Internal)
    }
  })
})
