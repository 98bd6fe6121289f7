// The notification that every sender sends: 302 bytes as APNs gets it.
export const title = 'Line 7 is closed'
export const body = 'From Monday the 7 ends at Central Station; take the 12 from there. We are sorry for the detour.'
export const article = '2026-11-23-line-7-is-closed-from-monday-until-christmas'

// Runs `send(from, count)` over all messages in pieces, some at once, and prints what became of them.
export async function measure(count, piece, send) {
  const began = process.hrtime.bigint()
  let accepted = 0
  for (let from = 0; from < count; from += piece) {
    accepted += await send(from, Math.min(piece, count - from))
  }
  const seconds = Number(process.hrtime.bigint() - began) / 1e9
  console.log(JSON.stringify({ count, accepted, seconds }))
}
