// Pictures of a class by the camera: as long as the button is held, one after another.
import { html, useEffect, useRef, useState } from "../../lib/preact.js";
import { useWords } from "../../lib/i18n.js";
import { useCamera } from "../../lib/camera.js";
import { speak } from "../../lib/speak.js";
import { Button } from "../../parts/button.js";
import { Dialog } from "../../parts/dialog.js";
import { Note } from "../../parts/note.js";
import { change, pictures_from } from "./draft.js";
import { add_pictures } from "./model.js";

const PAUSE_MS = 150;
let visits = 0;

export function Camera({ class_id, label, onClose }) {
  const t = useWords();
  const video = useRef();
  const [camera, error] = useCamera(video);
  const { count, begin, end } = useShooting(camera, class_id);
  const close = () => {
    end();
    onClose();
  };
  const press = (event) => {
    event.preventDefault();
    event.currentTarget.setPointerCapture(event.pointerId);
    begin();
  };
  const key = (event) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    if (event.type === "keyup") end();
    else if (!event.repeat) begin();
  };
  return html`<${Dialog} title=${t("teach.camera_title", { name: label })} onClose=${close}>
    ${error ? html`<${Note} kind="bad"><p>${t(error.name === "NotAllowedError" ? "teach.camera_refused" : "teach.camera_none")}</p><//>` : html`
      <video class="camera" ref=${video} muted playsinline aria-label=${t("teach.camera_view")}></video>
      <div class="row camera-tools"><${Button} kind="primary" class="button button-primary camera-shoot" disabled=${!camera} onPointerDown=${press} onPointerUp=${end} onPointerCancel=${end}
          onKeyDown=${key} onKeyUp=${key} onBlur=${end} onContextMenu=${(event) => event.preventDefault()}>${t("teach.hold")}<//>
        <${Button} kind="quiet" disabled=${!camera} onClick=${() => camera.flip()}>${t("teach.flip")}<//></div>
      <p class="camera-count" id="saft-camera-count">${t("teach.taken", { count })}</p>`}
    <div class="row row-end"><${Button} onClick=${close}>${t("teach.camera_done")}<//></div>
  <//>`;
}

// One step of undo takes back all that was shot while the camera was open.
function useShooting(camera, class_id) {
  const t = useWords();
  const [count, setCount] = useState(0);
  const held = useRef({ on: false, at_work: false, taken: 0, visit: (visits += 1) }).current;
  const shoot = async () => {
    held.at_work = true;
    do {
      const file = await camera.shoot();
      held.taken += 1;
      const picture = pictures_from([{ name: `camera-${held.visit}-${held.taken}.jpg`, file }]);
      change((now) => add_pictures(now, class_id, picture), `camera-${held.visit}`);
      setCount(held.taken);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    } while (held.on);
    held.at_work = false;
    speak(t("teach.taken", { count: held.taken }));
  };
  const begin = () => {
    held.on = true;
    if (!held.at_work) shoot();
  };
  const end = () => (held.on = false);
  useEffect(() => end, []);
  return { count, begin, end };
}
