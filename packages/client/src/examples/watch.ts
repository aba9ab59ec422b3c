import { createClient } from "@floodgate/client/Client"

/** Says what happens to one's orders and to a product's stock, until one of the orders is paid. */
export const watch = async (baseUrl: string, username: string, password: string, productId: number) => {
  const shop = createClient({ baseUrl })
  await shop.login(username, password)
  return new Promise<string>((resolve, reject) => {
    const stream = shop.events({
      topics: ["orders", `stock:${productId}`],
      on: (event, data) => {
        if (event === "ready") console.log("watching")
        if (event === "stock.updated" && "stock" in data) console.log(`${data.stock} left`)
        if (event !== "order.updated" || !("order_num" in data)) return
        console.log(`${data.order_num} is ${data.state}`)
        if (data.state === "paid") {
          stream.close()
          resolve(`${data.order_num} is ours`)
        }
      },
      onEnd: (reason) => reason !== undefined && reject(reason),
    })
  })
}
