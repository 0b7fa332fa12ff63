import { assert, describe, it } from "@effect/vitest"
import { Room } from "../../src/layers/Room.ts"

const limits = { most: 600, least: 60, millis: 100 }

/** So many requests in a row, each of which stays so long, a millisecond after one another. */
const serve = (room: Room, from: number, count: number, millis: number) => {
  const leaving: Array<number> = []
  for (let now = from; now < from + count || leaving.length > 0; now++) {
    while (leaving[0] !== undefined && leaving[0] <= now) {
      leaving.shift()
      room.leave(now)
    }
    if (now < from + count) {
      room.enter(now)
      leaving.push(now + millis)
    }
  }
  return from + count + millis
}

describe("the room of a class", () => {
  it("stays whole while requests leave in time", () => {
    const room = new Room(limits)
    serve(room, 0, 5_000, 90)
    assert.strictEqual(room.size, 600)
  })

  it("shrinks while they stay too long, never below its least, and grows again", () => {
    const room = new Room(limits)
    const slow = serve(room, 0, 1_000, 150)
    assert.isBelow(room.size, 400)
    assert.isAbove(room.size, 60)
    const slower = serve(room, slow, 5_000, 150)
    assert.strictEqual(room.size, 60)
    serve(room, slower, 10_000, 20)
    assert.strictEqual(room.size, 600)
  })

  it("loses little by one pause", () => {
    const room = new Room(limits)
    const paused = serve(room, serve(room, 0, 1_000, 20), 150, 150)
    assert.isAbove(room.size, 400)
    serve(room, paused, 1_500, 20)
    assert.strictEqual(room.size, 600)
  })

  it("shrinks also when nobody leaves at all", () => {
    const room = new Room(limits)
    for (let n = 0; n < 10; n++) room.enter(n)
    for (let now = 100; now < 3_000; now += 100) room.adapt(now)
    assert.strictEqual(room.size, 60)
  })
})
