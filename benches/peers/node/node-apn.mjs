// @parse/node-apn as a plain sender: node-apn.mjs PORT KEY.p8 CA.pem COUNT
import apn from '@parse/node-apn'
import { article, body, measure, title } from './message.mjs'

const [port, key, ca, count] = process.argv.slice(2)
const provider = new apn.Provider({
  token: { key, keyId: 'BENCHKEY01', teamId: 'BENCHTEAM1' },
  address: 'localhost',
  port: Number(port),
  ca,
  requestTimeout: 60000,
  production: true,
})
const note = new apn.Notification({ topic: 'com.example.app', pushType: 'alert', priority: 10 })
note.alert = { title, body }
note.sound = 'default'
note.payload = { article }
// In one call with many more it reports messages as failed that were delivered.
await measure(Number(count), 500, async (from, length) => {
  const tokens = Array.from({ length }, (_, at) => (from + at).toString(16).padStart(64, '0'))
  const { sent, failed } = await provider.send(note, tokens)
  if (failed.length > 0) console.error(failed[0])
  return sent.length
})
provider.shutdown()
