// Pictures that were put right beside a result are right in the boxes, too: else teaching from there undoes it.
import { all, get } from "../../lib/api.js";
import { t } from "../../lib/i18n.js";
import { change, draft, find_draft } from "./draft.js";
import { told } from "./filling.js";
import { add_groups, label_of, of_dataset, set_fields, usable } from "./model.js";

// revised: {id of a dataset: the revision of it that is taught}. Boxes that were filled from one of them, or from what
// it was made of, are filled anew; files that were not sent yet stay. Can be undone.
export async function follow_revisions(revised) {
  await find_draft();
  for (const [id, dataset] of Object.entries(revised)) {
    if (draft.get().test_dataset_id === id) change((now) => set_fields(now, { test_dataset_id: dataset.id }), "corrected");
    if (!(await came_from(id))) continue;
    const images = await all(`/datasets/${dataset.id}/images`);
    change((now) => filled_from(now, dataset, images), "corrected");
    told.set([{ kind: "good", text: t("teach.corrected") }]);
  }
}

async function came_from(id) {
  const source = draft.get().source?.id;
  if (!source || source === id) return Boolean(source);
  return (await get(`/datasets/${id}`).catch(() => null))?.revision_of === source;
}

function filled_from(now, dataset, images) {
  const { adapter_name, test_dataset_id, settings } = now;
  const fresh = of_dataset(dataset, images, { adapter_name, test_dataset_id, settings });
  const unsent = now.classes.map((one) => ({ name: label_of(one), pictures: usable(one).filter(({ key }) => key) }));
  return add_groups(fresh, unsent.filter(({ pictures }) => pictures.length));
}
