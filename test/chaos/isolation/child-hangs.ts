// In place of the media child: never answers, never listens again, and takes all the time that it can get.
process.stdin.once("data", () => {
  for (let n = 1;; n++) Math.sqrt(n)
})
