import { InventoryClient } from "@floodgate/contracts/rpc/InventoryClient"
import * as ServiceCredential from "@floodgate/contracts/rpc/ServiceCredential"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"

const credentialOf = (key: string) =>
  ServiceCredential.make({ service: "example", keys: [Redacted.make(key)] })

export const stockOf = (url: string, key: string, productId: bigint) =>
  InventoryClient.pipe(
    Effect.flatMap((inventory) => inventory.getProduct({ productId })),
    Effect.map((product) => `${product.name}: ${product.stock} left`),
    Effect.catchTag("NotFound", () => Effect.succeed("no such product")),
    Effect.provide(InventoryClient.layer({ url, credential: credentialOf(key) })),
  )
