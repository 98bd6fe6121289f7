// npm web-push as a plain sender: web-push.mjs PORT KEYS COUNT
import { readFileSync } from 'node:fs'
import https from 'node:https'
import webPush from 'web-push'
import { article, body, measure, title } from './message.mjs'

const [port, keys, count] = process.argv.slice(2)
const browsers = readFileSync(keys, 'utf8').trim().split('\n').map((line) => line.split(' '))
const agent = new https.Agent({ keepAlive: true, maxSockets: 32 })
const vapidDetails = { subject: 'mailto:bench@example.com', ...webPush.generateVAPIDKeys() }
const payload = JSON.stringify({ notification: { title, body }, data: { article } })
await measure(Number(count), 500, async (from, length) => {
  const sent = Array.from({ length }, (_, at) => {
    const [p256dh, auth] = browsers[(from + at) % browsers.length]
    const subscription = { endpoint: `https://localhost:${port}/wpush/${from + at}`, keys: { p256dh, auth } }
    return webPush.sendNotification(subscription, payload, { vapidDetails, agent, TTL: 3600 })
  })
  const results = await Promise.allSettled(sent)
  const failed = results.find((result) => result.status === 'rejected')
  if (failed) console.error(failed.reason)
  return results.filter((result) => result.status === 'fulfilled').length
})
agent.destroy()
