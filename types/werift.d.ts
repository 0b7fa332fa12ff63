// node-av mentions werift (its optional WebRTC part, which Midnight never loads) in its declarations, and werift's own
// declarations do not type-check. Declaring the names here keeps `skipLibCheck: false` for everything else.
declare module "werift" {
  export class RtpPacket {}
  export class RTCIceCandidate {}
  export class RTCIceServer {}
  export class RTCPeerConnection {}
  export class RTCSessionDescription {}
}
