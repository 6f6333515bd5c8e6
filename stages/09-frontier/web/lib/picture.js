// Whether bytes are a picture that may be shown: by what they begin with, and never by the name that a program gave
// them. An SVG is a document with scripts, and is none. The size is read first, because a picture of a few kilobytes
// can have billions of pixels.

const MAX_PIXELS = 40_000_000;

const begins = (bytes, text, at = 0) => [...text].every((character, index) => bytes[at + index] === character.charCodeAt(0));

function jpegSize(view) {
  for (let at = 2; at + 9 < view.byteLength;) {
    if (view.getUint8(at) !== 0xff) return null;
    const marker = view.getUint8(at + 1);
    if (marker === 0xff) { at += 1; continue; }
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return [view.getUint16(at + 7), view.getUint16(at + 5)];
    at += 2 + view.getUint16(at + 2);
  }
  return null;
}

function webpSize(bytes, view) {
  const three = at => view.getUint16(at, true) + (view.getUint8(at + 2) << 16);
  if (begins(bytes, "VP8X", 12)) return [three(24) + 1, three(27) + 1];
  if (begins(bytes, "VP8L", 12)) {
    const bits = view.getUint32(21, true);
    return [(bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1];
  }
  return begins(bytes, "VP8 ", 12) ? [view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff] : null;
}

function kindAndSize(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 32) return null;
  if (begins(bytes, "\x89PNG\r\n\x1a\n")) return ["image/png", [view.getUint32(16), view.getUint32(20)]];
  if (begins(bytes, "GIF87a") || begins(bytes, "GIF89a")) return ["image/gif", [view.getUint16(6, true), view.getUint16(8, true)]];
  if (begins(bytes, "\xff\xd8\xff")) return ["image/jpeg", jpegSize(view)];
  if (begins(bytes, "RIFF") && begins(bytes, "WEBP", 8)) return ["image/webp", webpSize(bytes, view)];
  return null;
}

// { blob, width, height }, or null for what is not to be shown.
export function picture(bytes) {
  const [type, dimensions] = kindAndSize(bytes) ?? [];
  const [width, height] = dimensions ?? [];
  if (!width || !height || width * height > MAX_PIXELS) return null;
  return { blob: new Blob([bytes], { type }), width, height };
}
