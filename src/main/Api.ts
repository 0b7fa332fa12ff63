import { ApiLive } from "../layers/ApiLive.ts"
import { launchProcess } from "../layers/ProcessMain.ts"

launchProcess("api", ApiLive)
