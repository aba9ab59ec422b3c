import { Kafka, logLevel } from "kafkajs"

/**
 * One look at a broker, at most 3 s; rejects when it doesn't answer. One that isn't unfenced yet accepts connections
 * but isn't listed in its own metadata, and counts as not ready.
 */
export const isReady = async (brokers: string): Promise<boolean> => {
  const admin = new Kafka({
    clientId: "floodgate-stack",
    brokers: brokers.split(","),
    logLevel: logLevel.NOTHING,
    connectionTimeout: 1000,
    requestTimeout: 2000,
    retry: { retries: 0 },
  }).admin()
  try {
    await admin.connect()
    return (await admin.describeCluster()).brokers.length > 0
  } finally {
    await admin.disconnect().catch(() => {})
  }
}
