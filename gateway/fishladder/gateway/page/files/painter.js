// Puts decoded pictures on a canvas. Of those without a graphics processor a browser keeps bitmaps, twice of each picture,
// half a gigabyte before it lets go of any: so their pixels are copied, and onto a canvas that is off screen.

// Planes in memory; what a graphics processor decodes is there as NV12, or opaque.
const IN_MEMORY = /^I4/;

export class Painter {
  // Pictures wider than `mostWidth` are made smaller. A canvas has one painter for good.
  constructor(canvas, mostWidth = Infinity) {
    this.mostWidth = mostWidth;
    this.surface = canvas.transferControlToOffscreen();
    this.context = this.surface.getContext("2d", { alpha: false });
    this.last = Promise.resolve();
  }

  // Draws a VideoFrame, which must stay open meanwhile, after those before it. Rejects if it is closed all the same.
  paint(picture) {
    this.last = this.last.catch(() => {}).then(() => this.draw(picture));
    return this.last;
  }

  async draw(picture) {
    const width = Math.min(this.mostWidth, picture.displayWidth);
    const height = Math.round((width * picture.displayHeight) / picture.displayWidth);
    const pixels = IN_MEMORY.test(picture.format) ? await this.copy(picture) : null;
    if (this.surface.width !== width || this.surface.height !== height) {
      this.surface.width = width;
      this.surface.height = height;
    }
    if (pixels === null) this.context.drawImage(picture, 0, 0, width, height);
    else this.context.putImageData(width === pixels.width ? pixels : this.shrink(pixels, width, height), 0, 0);
  }

  // The picture's pixels; null where this browser does not give them as they are shown.
  async copy(picture) {
    const { width, height } = picture.visibleRect;
    if (width !== picture.displayWidth || height !== picture.displayHeight) return null;
    if (this.pixels?.width !== width || this.pixels.height !== height) this.pixels = new ImageData(width, height);
    try {
      if (picture.allocationSize({ format: "RGBA" }) !== this.pixels.data.byteLength) return null;
      await picture.copyTo(this.pixels.data, { format: "RGBA" });
    } catch {
      return null;
    }
    return this.pixels;
  }

  // Each pixel is the mean of four from where it was.
  shrink(from, width, height) {
    if (this.small?.width !== width || this.small.height !== height) this.small = new ImageData(width, height);
    const source = new Uint32Array(from.data.buffer);
    const target = new Uint32Array(this.small.data.buffer);
    const [across, down] = [from.width / width, from.height / height];
    const [right, below] = [Math.floor(across / 2), Math.floor(down / 2) * from.width];
    for (let y = 0, at = 0; y < height; y++) {
      const row = Math.floor(y * down) * from.width;
      for (let x = 0; x < width; x++, at++) {
        const here = row + Math.floor(x * across);
        target[at] = mean(source[here], source[here + right], source[here + below], source[here + below + right]);
      }
    }
    return this.small;
  }
}

// Of four packed colours, every other byte at a time so that sums have room.
function mean(a, b, c, d) {
  const even = (a & 0xff00ff) + (b & 0xff00ff) + (c & 0xff00ff) + (d & 0xff00ff);
  const odd = ((a >>> 8) & 0xff00ff) + ((b >>> 8) & 0xff00ff) + ((c >>> 8) & 0xff00ff) + ((d >>> 8) & 0xff00ff);
  return ((even >>> 2) & 0xff00ff) | ((odd << 6) & 0xff00ff00);
}
