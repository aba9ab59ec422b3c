/** A product's row that a test holds: until it is let go, nobody sells, cancels or looks at it as a whole. */
import * as mysql from "mysql2/promise"
import type { World } from "./World.ts"

export interface HeldProduct {
  readonly release: () => Promise<void>
}

export const hold = async (world: World, productId: number): Promise<HeldProduct> => {
  const connection = await mysql.createConnection((await world.stack.status())["mysql"]!.url!)
  await connection.query("START TRANSACTION")
  await connection.query("SELECT id FROM inventory.product WHERE id = ? FOR UPDATE", [productId])
  return {
    release: async () => {
      await connection.query("ROLLBACK")
      await connection.end()
    },
  }
}
