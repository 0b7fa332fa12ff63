/**
 * The commonest passwords that are long enough to pass the length rule, as breach compilations rank such shapes: keyboard
 * rows, counted digits, a short word repeated, well-known phrases. Compared in lower case.
 */
export const commonPasswords: ReadonlySet<string> = new Set([
  "000000000000000",
  "0000000000000000",
  "00000000000000000000",
  "0123456789012345",
  "01234567890123456789",
  "0987654321098765",
  "111111111111111",
  "1111111111111111",
  "11111111111111111111",
  "112233445566778899",
  "11223344556677889900",
  "121212121212121212",
  "123123123123123",
  "123123123123123123",
  "1234512345123451234512345",
  "123451234512345",
  "123456123456123456",
  "123456712345671234567",
  "1234567812345678",
  "123456789012345",
  "1234567890123456",
  "12345678901234567",
  "123456789012345678",
  "1234567890123456789",
  "12345678901234567890",
  "1234567890-=qwertyuiop",
  "1234567890abcdefghij",
  "1234567890qwertyuiop",
  "123456789123456789",
  "123456789987654321",
  "123456789abcdefg",
  "123456789abcdefghi",
  "123456789password",
  "123456789qwertyuiop",
  "123456abcdefghi",
  "1234qwerasdfzxcv",
  "1q2w3e4r5t6y7u8i",
  "1q2w3e4r5t6y7u8i9o",
  "1q2w3e4r5t6y7u8i9o0p",
  "1qaz2wsx3edc4rfv",
  "1qaz2wsx3edc4rfv5tgb",
  "1qazxsw23edcvfr4",
  "999999999999999",
  "9999999999999999",
  "987654321987654321",
  "98765432109876543210",
  "a1b2c3d4e5f6g7h8",
  "a1b2c3d4e5f6g7h8i9",
  "a1b2c3d4e5f6g7h8i9j0",
  "aaaaaaaaaaaaaaa",
  "aaaaaaaaaaaaaaaa",
  "aaaaaaaaaaaaaaaaaaaa",
  "abc123abc123abc123",
  "abcabcabcabcabc",
  "abcd1234abcd1234",
  "abcd1234efgh5678",
  "abcdefghijklmno",
  "abcdefghijklmnop",
  "abcdefghijklmnopqrstuvwxyz",
  "abcdefghijklmnopqrstuvwxyz1234567890",
  "adminadminadmin",
  "administrator123",
  "administratoradministrator",
  "asdfasdfasdfasdf",
  "asdfghjklasdfghjkl",
  "asdfghjklqwertyuiop",
  "asdfghjklzxcvbnm",
  "changemechangeme",
  "changemechangemechangeme",
  "correct horse battery staple",
  "correcthorsebatterystaple",
  "correct-horse-battery-staple",
  "defaultpassword",
  "fuckyoufuckyoufuckyou",
  "hellohellohello",
  "iloveyou1234567",
  "iloveyou123456789",
  "iloveyouforever",
  "iloveyouiloveyou",
  "iloveyousomuch1",
  "iloveyousomuch123",
  "letmeinletmeinletmein",
  "letmeinletmein1",
  "liverpoolliverpool",
  "loveyouforever1",
  "manchesterunited",
  "mynameisjohncena",
  "passw0rdpassw0rd",
  "password1234567",
  "password12345678",
  "password123456789",
  "password1234567890",
  "password123password",
  "password123password123",
  "password1password1",
  "passwordpassword",
  "passwordpassword1",
  "passwordpassword123",
  "p@ssw0rdp@ssw0rd",
  "p@ssword12345678",
  "qazwsxedcrfvtgb",
  "qazwsxedcrfvtgbyhnujm",
  "qqqqqqqqqqqqqqq",
  "qwerqwerqwerqwer",
  "qwerty123456789",
  "qwerty1234567890",
  "qwerty123qwerty123",
  "qwertyqwertyqwerty",
  "qwertyuiop1234567890",
  "qwertyuiop12345",
  "qwertyuiop123456789",
  "qwertyuiop[]asdfghjkl",
  "qwertyuiopasdfg",
  "qwertyuiopasdfgh",
  "qwertyuiopasdfghjkl",
  "qwertyuiopasdfghjklzxcvbnm",
  "qwertyuiopqwertyuiop",
  "superman1234567",
  "supersecretpassword",
  "testtesttesttest",
  "thequickbrownfox",
  "thisismypassword",
  "thisismypassword1",
  "thisispassword1",
  "trustno1trustno1",
  "welcome123456789",
  "welcomewelcome1",
  "whatareyoulookingat",
  "xxxxxxxxxxxxxxx",
  "xxxxxxxxxxxxxxxx",
  "zaq12wsxcde34rfv",
  "zxcvbnmasdfghjkl",
  "zxcvbnmasdfghjklqwertyuiop",
  "zxcvbnmzxcvbnmzxcvbnm",
  "zzzzzzzzzzzzzzz"
])

/** The longest word whose repetition is no password: twice eight characters are guessed as soon as they are once. */
const longestWord = 8
/** A password of so few parts, each one character over and over or a row counted up or down, is one of a short list. */
const fewestRuns = 4
const rows = ["01234567890", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "asdfghjkl", "zxcvbnm"]

const isRepetition = (text: ReadonlyArray<string>): boolean => {
  for (let word = 1; word <= Math.min(longestWord, text.length / 2); word++) {
    if (text.every((character, at) => character === text[at % word])) return true
  }
  return false
}

/** How one character leads to the next: the same again, the next or the one before of a row, or not at all. */
const stepOf = (from: string, to: string): string | undefined => {
  if (from === to) return "same"
  if (rows.some((row) => row.includes(`${from}${to}`))) return "up"
  return rows.some((row) => row.includes(`${to}${from}`)) ? "down" : undefined
}

const runsOf = (text: ReadonlyArray<string>): number => {
  let runs = 1
  let step: string | undefined
  for (let at = 1; at < text.length; at++) {
    const next = stepOf(text[at - 1] ?? "", text[at] ?? "")
    if (next !== undefined && (step === undefined || step === next)) {
      step = next
      continue
    }
    runs++
    step = undefined
  }
  return runs
}

/** One of the commonest, or made by a rule that a list of them need not spell out: `ababab…`, `111…`, `1234…4321`, `aaaa…bbbb`. */
export const isCommon = (password: string): boolean => {
  const text = Array.from(password.toLowerCase())
  return commonPasswords.has(text.join("")) || isRepetition(text) || runsOf(text) < fewestRuns
}
