// Generated from the contract by packages/client/bin/generate.mjs; don't edit.

/** Every error of the contract by its code: the HTTP status, words to show, and what a client does about it. */
export const catalogue = {
  400: {"reason":"INVALID_INPUT","http":400,"en":"Invalid input","zh":"请求参数有误","action":"Correct the request; repeating it unchanged gives the same answer."},
  401: {"reason":"UNAUTHENTICATED","http":401,"en":"Please sign in","zh":"请先登录","action":"Refresh the token once, else sign in again."},
  403: {"reason":"FORBIDDEN","http":403,"en":"You are not permitted to do this","zh":"没有权限","action":"Don't retry; ask an administrator for the role."},
  404: {"reason":"NOT_FOUND","http":404,"en":"Not found","zh":"资源不存在","action":"Don't retry."},
  405: {"reason":"METHOD_NOT_ALLOWED","http":405,"en":"Method not allowed","zh":"请求方法不被允许","action":"Use a listed method."},
  408: {"reason":"REQUEST_TIMEOUT","http":408,"en":"The request took too long to arrive","zh":"请求超时","action":"Send it again on a better connection."},
  413: {"reason":"BODY_TOO_LARGE","http":413,"en":"The request body is too large","zh":"请求内容过大","action":"Send less."},
  415: {"reason":"UNSUPPORTED_MEDIA_TYPE","http":415,"en":"Unsupported content type","zh":"不支持的内容类型","action":"Set content-type: application/json."},
  429: {"reason":"RATE_LIMITED","http":429,"en":"Too many requests, please slow down","zh":"请求过于频繁，请稍后再试","action":"Wait as long as Retry-After says."},
  500: {"reason":"INTERNAL","http":500,"en":"Something went wrong on our side","zh":"服务器内部错误","action":"Report the x-trace-id."},
  501: {"reason":"USERNAME_TAKEN","http":409,"en":"That username is taken","zh":"用户名已存在","action":"Choose another name."},
  502: {"reason":"WRONG_CREDENTIALS","http":401,"en":"Wrong username or password","zh":"用户名或密码错误","action":"Ask the person again."},
  510: {"reason":"SOLD_OUT","http":409,"en":"Sold out","zh":"已售罄","action":"Ask for fewer, or watch for a restock."},
  511: {"reason":"ALREADY_BOUGHT","http":409,"en":"You already bought this","zh":"您已抢购过该商品","action":"Show the order of data.order_num."},
  512: {"reason":"NOT_STARTED","http":409,"en":"The sale has not started","zh":"秒杀尚未开始","action":"Count down by x-server-time, then ask again."},
  513: {"reason":"ENDED","http":409,"en":"The sale has ended","zh":"秒杀已结束","action":"Don't retry."},
  514: {"reason":"NOT_ON_SALE","http":409,"en":"This product is not on sale","zh":"商品未上架","action":"Don't retry."},
  520: {"reason":"WRONG_STATE","http":409,"en":"The current state does not allow this","zh":"当前状态不允许此操作","action":"Fetch it again."},
  521: {"reason":"IDEMPOTENCY_MISMATCH","http":422,"en":"This idempotency key was used with another request","zh":"幂等键已用于其他请求","action":"Make a new key for a new wish."},
  522: {"reason":"IN_FLIGHT","http":409,"en":"The same request is already being handled","zh":"重复提交","action":"Wait, then fetch the result."},
  523: {"reason":"PAYMENT_MISMATCH","http":422,"en":"The payment does not match the order","zh":"支付信息与订单不符","action":"A provider's adapter is wrong; an alert has fired."},
  524: {"reason":"PAYMENT_DECLINED","http":402,"en":"Payment declined: the balance is too low","zh":"支付失败，余额不足","action":"Top up, or pay by another channel."},
  525: {"reason":"STALE_VERSION","http":409,"en":"It was changed by someone else","zh":"数据已被他人修改","action":"Fetch it again and redo the edit."},
  530: {"reason":"BUSY","http":503,"en":"The system is busy, please try again","zh":"系统繁忙，请稍后再试","action":"Wait as long as Retry-After says; ask for data.order_num where it is given."},
  701: {"reason":"BANNED","http":403,"en":"This account is banned","zh":"账号已被封禁","action":"Contact support."},
  702: {"reason":"FREQUENCY_LIMITED","http":429,"en":"Too many attempts from this device or address","zh":"设备或账号操作过于频繁","action":"Wait as long as Retry-After says."},
  703: {"reason":"ADDRESS_BLOCKED","http":403,"en":"Your address is blocked","zh":"当前网络地址已被限制","action":"Contact support."},
  704: {"reason":"CHALLENGE_REQUIRED","http":403,"en":"Please complete the challenge first","zh":"请先完成验证","action":"Solve it by POST /challenge, and send its ticket."},
  705: {"reason":"WAITING_ROOM","http":429,"en":"You are in the waiting room","zh":"正在排队中","action":"Queue by POST /products/:id/queue."},
} as const

export type ErrorCode = keyof typeof catalogue
