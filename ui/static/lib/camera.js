// The device's camera. Browsers lend it only to pages of https addresses and of this machine.
import { useEffect, useState } from "./preact.js";

export const has_camera = () => Boolean(navigator.mediaDevices?.getUserMedia);

const SIDE = 640; // of the pictures taken: what models look at is smaller

// Shows the camera in a <video>. Gives {shoot, flip, close}; throws what getUserMedia throws (NotAllowedError, ...).
async function open_camera(video) {
  let facing = "environment";
  let stream = null;
  const show = async () => {
    stream?.getTracks().forEach((track) => track.stop());
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: facing, width: { ideal: 1280 } }, audio: false });
    video.srcObject = stream;
    await video.play();
  };
  const stop = () => stream?.getTracks().forEach((track) => track.stop());
  try {
    await show();
  } catch (error) {
    stop(); // a <video> that went away meanwhile plays nothing, and the lamp must go out
    throw error;
  }
  return {
    // What is seen now, as a JPEG file.
    async shoot(side = SIDE) {
      const scale = Math.min(1, side / Math.max(video.videoWidth, video.videoHeight));
      const canvas = new OffscreenCanvas(Math.round(video.videoWidth * scale), Math.round(video.videoHeight * scale));
      canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
      const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.9 });
      return new File([blob], `camera-${Date.now()}.jpg`, { type: "image/jpeg" });
    },
    async flip() {
      facing = facing === "user" ? "environment" : "user";
      await show();
    },
    close() {
      stop();
      video.srcObject = null;
    },
  };
}

// Opens the camera in a <video>, and ends with it: [camera, error], null until there is one. onHidden: called when the
// <video> is no longer to be seen, as in a tab that was left for another.
export function useCamera(video, onHidden = () => {}) {
  const [camera, setCamera] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    let opened = null;
    let over = false;
    open_camera(video.current).then(
      (found) => (over ? found.close() : setCamera((opened = found))),
      (failed) => !over && setError(failed),
    );
    const watch = new ResizeObserver(() => opened && !video.current?.getClientRects().length && onHidden());
    watch.observe(video.current);
    return () => {
      over = true;
      watch.disconnect();
      opened?.close();
    };
  }, []);
  return [camera, error];
}
