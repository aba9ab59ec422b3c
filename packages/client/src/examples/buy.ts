import { createClient } from "@floodgate/client/Client"
import { isFloodgateError } from "@floodgate/client/FloodgateError"

export const buy = async (baseUrl: string, username: string, password: string, productId: number) => {
  const shop = createClient({ baseUrl, language: "en" })
  await shop.login(username, password)
  try {
    const { order_num } = await shop.seckill({ product_id: productId })
    const order = await shop.waitForOrder(order_num)
    if (order.state !== "unpaid") return `not ours after all: ${order.reject_reason}`
    const { status } = await shop.pay(order_num, "balance")
    return `${order_num}: ${status}`
  } catch (error) {
    if (isFloodgateError(error, 511)) return `already yours: ${error.data?.order_num}`
    if (isFloodgateError(error, 510)) return "sold out"
    throw error
  }
}
