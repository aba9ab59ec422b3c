import { it } from "@effect/vitest"
import { InventoryRpc } from "@floodgate/contracts/rpc/Services"
import * as GrpcClient from "@floodgate/contracts/rpc/GrpcClient"
import * as ServiceCredential from "@floodgate/contracts/rpc/ServiceCredential"
import { Client, credentials, Metadata, Server, ServerCredentials } from "@grpc/grpc-js"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { Readiness } from "../lifecycle/Readiness.ts"
import * as GrpcServer from "./GrpcServer.ts"
import { create, toBinary, fromBinary } from "@bufbuild/protobuf"
import { ReserveBatchRequestSchema, ReserveBatchResponseSchema } from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
const credential = ServiceCredential.make({ service: "edge", keys: [Redacted.make("k".repeat(40))] })
const n = 1
const req = { productId: 1n, userId: Array.from({length:n},(_, i)=>BigInt(i+1)), quantity: Array(n).fill(1), requestId: Array(n).fill("abcdefghijklmnop"), notAfterMs: Array(n).fill(1790000000000n) }
const res = { code: Array(n).fill(1), orderNum: Array(n).fill("0".repeat(36)), detail: Array(n).fill(0n), liveOrderNums: [], serverTimeMs: 1n }
const id = (b: Buffer) => b
it.scopedLive("bench", () => Effect.gen(function* () {
  const unused: any = () => Effect.die("x")
  const { port } = yield* GrpcServer.make({ port: Config.succeed(0), services: [GrpcServer.service(InventoryRpc, {
    createProduct: unused, getProduct: unused, batchGetProducts: unused, listProducts: unused, warmUp: unused, getReservation: unused,
    reserveBatch: Effect.fnUntraced(function* () { return res }) })] })
  const c = yield* GrpcClient.make(InventoryRpc, { url: `127.0.0.1:${port}`, credential })
  const bareServer = new Server()
  bareServer.addService({ r: { path: "/x/r", requestStream: false, responseStream: false, requestSerialize: id, requestDeserialize: id, responseSerialize: id, responseDeserialize: id } } as any, { r: (_call: any, cb: any) => { fromBinary(ReserveBatchRequestSchema, _call.request); cb(null, Buffer.from(toBinary(ReserveBatchResponseSchema, create(ReserveBatchResponseSchema, res)))) } })
  const bp = yield* Effect.promise(() => new Promise<number>((r) => bareServer.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (_e, p) => r(p))))
  const bc = new Client(`127.0.0.1:${bp}`, credentials.createInsecure())
  const bare = Effect.async<void>((resume) => { bc.makeUnaryRequest("/x/r", id, id, Buffer.from(toBinary(ReserveBatchRequestSchema, create(ReserveBatchRequestSchema, req))), new Metadata(), { deadline: Date.now() + 1000 }, (_e, b) => { fromBinary(ReserveBatchResponseSchema, b!); resume(Effect.void) }) })
  const measure = (name: string, e: Effect.Effect<any, any>, conc: number, count: number) => Effect.gen(function* () {
    yield* Effect.forEach(Array(500), () => e, { concurrency: conc, discard: true })
    const t = performance.now(); const cpu = process.cpuUsage()
    yield* Effect.forEach(Array(count), () => e, { concurrency: conc, discard: true })
    const d = process.cpuUsage(cpu)
    console.log(name, "conc", conc, ((performance.now() - t) / count * 1000).toFixed(0), "us/call wall", ((d.user + d.system) / count).toFixed(0), "us cpu")
  })
  for (let i = 0; i < 2; i++) for (const conc of [1, 32]) {
    yield* measure("bare grpc-js", bare, conc, 4000)
    yield* measure("reserveBatch span:false", c.reserveBatch(req, { span: false }), conc, 4000)
    yield* measure("reserveBatch span", c.reserveBatch(req), conc, 4000)
  }
  bc.close(); bareServer.forceShutdown()
}).pipe(Effect.provide(Readiness.layer), Effect.provideService(ServiceCredential.ServiceCredential, credential)), 120000)
