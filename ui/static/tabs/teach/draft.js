// The pictures of a dataset in the Teach tab, to be changed and taught under a name.
import { open_tab } from "../../lib/tabs.js";

export async function edit_dataset(dataset_id, adapter_name = "") {
  open_tab("teach");
  return { dataset_id, adapter_name };
}
