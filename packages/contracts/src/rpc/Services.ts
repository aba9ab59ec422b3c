/** The four services: descriptor and typed errors, once. Servers and clients are made from these. */
import {
  type AlreadyBought,
  Banned,
  Busy,
  Forbidden,
  IdempotencyMismatch,
  InFlight,
  InvalidInput,
  NotFound,
  PaymentDeclined,
  PaymentMismatch,
  RateLimited,
  StaleVersion,
  Unauthenticated,
  UsernameTaken,
  WrongCredentials,
  WrongState,
} from "../errors/Errors.ts"
import { IdentityService } from "../gen/floodgate/identity/v1/identity_pb.ts"
import { InventoryService } from "../gen/floodgate/inventory/v1/inventory_pb.ts"
import { OrderingService } from "../gen/floodgate/ordering/v1/ordering_pb.ts"
import { PaymentService } from "../gen/floodgate/payment/v1/payment_pb.ts"
import { defineRpc } from "./defineRpc.ts"

export const IdentityRpc = defineRpc(IdentityService, {
  register: [UsernameTaken, InvalidInput, RateLimited],
  login: [WrongCredentials, Banned, RateLimited],
  refresh: [Unauthenticated, Banned],
  logout: [],
  logoutAll: [NotFound, Forbidden],
  changePassword: [NotFound, InvalidInput, WrongCredentials, Banned, RateLimited, Forbidden],
  getUser: [NotFound, Forbidden],
  batchGetUsers: [InvalidInput, Forbidden],
  listUsers: [InvalidInput, Forbidden],
  setRoles: [NotFound, InvalidInput, WrongState, StaleVersion, Forbidden],
  banUser: [NotFound, InvalidInput, WrongState, StaleVersion, Forbidden],
  unbanUser: [NotFound, InvalidInput, WrongState, StaleVersion, Forbidden],
  exportUser: [NotFound, Forbidden],
  eraseUser: [NotFound, WrongCredentials, WrongState, RateLimited, Forbidden],
  getJwks: [],
  rotateKeys: [InvalidInput, Forbidden],
  listRevocations: [Forbidden],
  watchRevocations: [Forbidden],
  getWallet: [NotFound, Forbidden],
  listWalletEntries: [NotFound, InvalidInput, Forbidden],
  debitWallet: [NotFound, InvalidInput, Forbidden],
  voidDebit: [NotFound, Forbidden],
  creditWallet: [NotFound, InvalidInput, Forbidden],
  getWalletLedger: [InvalidInput, Forbidden],
  listWalletDecisions: [InvalidInput, Forbidden],
  listAudit: [Forbidden, InvalidInput],
  getVitals: [Forbidden],
})

export const InventoryRpc = defineRpc(InventoryService, {
  createProduct: [InvalidInput, InFlight, IdempotencyMismatch, Busy, Forbidden],
  getProduct: [NotFound],
  batchGetProducts: [InvalidInput],
  listProducts: [InvalidInput],
  warmUp: [NotFound, WrongState, Busy, Forbidden],
  reserveBatch: [InvalidInput],
  getReservation: [NotFound, InvalidInput],
  getManagedProduct: [NotFound, Forbidden],
  listManagedProducts: [InvalidInput, Forbidden],
  updateProduct: [NotFound, InvalidInput, WrongState, StaleVersion, Busy, Forbidden],
  withdrawProduct: [NotFound, WrongState, Busy, Forbidden],
  rebuildProduct: [NotFound, WrongState, Busy, Forbidden],
  cloneProduct: [NotFound, InvalidInput, InFlight, IdempotencyMismatch, Busy, Forbidden],
  getProductReadiness: [NotFound, Forbidden],
  changeStock: [NotFound, InvalidInput, WrongState, IdempotencyMismatch, Busy, Forbidden],
  listStockLog: [InvalidInput, Forbidden],
  getSaleSwitch: [Forbidden],
  setSaleSwitch: [Busy, Forbidden],
  uploadMedia: [InvalidInput, Busy, Forbidden],
  listAudit: [Forbidden, InvalidInput],
  getVitals: [Forbidden],
})

export const OrderingRpc = defineRpc(OrderingService, {
  getOrder: [NotFound],
  batchGetOutcomes: [InvalidInput],
  listOrders: [InvalidInput, Forbidden],
  cancelOrder: [NotFound, InvalidInput, WrongState],
  getBarrier: [],
  listReservations: [InvalidInput],
  listDeadLetters: [InvalidInput, Forbidden],
  getDeadLetter: [NotFound, Forbidden],
  replayDeadLetter: [NotFound, InvalidInput, WrongState, Forbidden],
  discardDeadLetter: [NotFound, InvalidInput, WrongState, Forbidden],
  getReconciliation: [Forbidden],
  getSaleFigures: [InvalidInput, Forbidden],
  listAudit: [Forbidden, InvalidInput],
  getVitals: [Forbidden],
})

export const PaymentRpc = defineRpc(PaymentService, {
  createIntent: [NotFound, InvalidInput, WrongState, IdempotencyMismatch, InFlight, PaymentDeclined],
  getPayment: [NotFound],
  closeOrder: [NotFound],
  acceptCallback: [NotFound, InvalidInput, Unauthenticated, PaymentMismatch],
  createTopUp: [NotFound, InvalidInput, IdempotencyMismatch, InFlight, PaymentDeclined],
  refund: [NotFound, InvalidInput, WrongState, IdempotencyMismatch, InFlight, Forbidden],
  listPayments: [InvalidInput, Forbidden],
  getPaymentRecord: [NotFound, Forbidden],
  listRefunds: [InvalidInput, Forbidden],
  createWebhook: [NotFound, InvalidInput, IdempotencyMismatch, InFlight, Forbidden],
  listWebhooks: [InvalidInput, Forbidden],
  getWebhook: [NotFound, Forbidden],
  deleteWebhook: [NotFound, InvalidInput, Forbidden],
  listWebhookDeliveries: [NotFound, InvalidInput, Forbidden],
  redeliverWebhook: [NotFound, InvalidInput, Forbidden],
  getLedger: [InvalidInput, Forbidden],
  listAudit: [Forbidden, InvalidInput],
  getVitals: [Forbidden],
})

/** Kept beside the definitions so that a reader sees which error of a service never crosses gRPC as a failure. */
export type NeverAcrossRpc = AlreadyBought
