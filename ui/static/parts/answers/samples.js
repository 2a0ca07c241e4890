// Pictures to try at once: of the test set that the adapter was measured on, which it has never seen.
import { html, useState } from "../../lib/preact.js";
import { useWords } from "../../lib/i18n.js";
import { request } from "../../lib/api.js";
import { useAll, useOne } from "../../lib/live.js";
import { Problem } from "../note.js";
import { Thumbnail, dataset_thumbnail } from "../picture.js";

const SHOWN = 6;
const TAKEN = 512;

const spread = (count) => Array.from({ length: Math.min(SHOWN, count) }, (_, place) => Math.floor(((place + 0.5) * count) / Math.min(SHOWN, count)));

// The dataset that it was measured on; of an adapter that was not taught here, where its mistakes are from.
function useTestDataset(adapter) {
  const job = useOne(adapter?.job_id ? `/jobs/${adapter.job_id}` : null).value;
  const mistakes = useAll(adapter && !adapter.job_id ? `/adapters/${adapter.id}/mistakes` : null).value;
  const id = job?.test_dataset_id ?? mistakes?.find(({ split }) => split === "test")?.dataset_id;
  return useOne(id ? `/datasets/${id}` : null).value;
}

// words: what is said above them.
export function Samples({ adapter, take, words }) {
  const t = useWords();
  const [error, setError] = useState(null);
  const dataset = useTestDataset(adapter);
  if (!dataset) return null;
  const fetched = async (position) => {
    setError(null);
    try {
      const answer = await request("GET", `/datasets/${dataset.id}/images/${position}/thumbnail?size=${TAKEN}`);
      const path = `${t("try.sample", { count: position + 1 })}.webp`;
      take([{ path, file: new File([await answer.blob()], path, { type: "image/webp" }) }]);
    } catch (failed) {
      setError(failed);
    }
  };
  return html`<div class="samples"><p>${words ?? t("try.samples")}</p>
    <ul class="row">${spread(dataset.image_count).map((position) => html`<li key=${position}><button type="button" class="sample" onClick=${() => fetched(position)}>
      <${Thumbnail} src=${dataset_thumbnail(dataset.id, position)} alt=${t("try.sample", { count: position + 1 })} /></button></li>`)}</ul>
    <${Problem} error=${error} /></div>`;
}
