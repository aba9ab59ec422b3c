import { Kafka, logLevel } from "kafkajs"

/**
 * One look at a broker, at most 3 s; rejects when it doesn't answer. One that isn't unfenced yet accepts connections
 * but isn't listed in its own metadata (under the port that it advertises), and counts as not ready.
 */
export const isReady = async (brokers: string, advertisedPort: number): Promise<boolean> => {
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
    return (await admin.describeCluster()).brokers.some(({ port }) => port === advertisedPort)
  } finally {
    await admin.disconnect().catch(() => {})
  }
}
