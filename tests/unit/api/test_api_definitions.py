"""What a cluster's definitions lack is said in one sentence each, with the remedy."""

import copy

import pytest

from reconciler.api import definitions

BATCHES = next(
    each
    for each in definitions.wanted()
    if each["metadata"]["name"] == "backupbatches.stash.appscode.com"
)


def changed(change):
    found = copy.deepcopy(BATCHES)
    change(found["spec"]["versions"][0])
    return found


def schema(version):
    return version["schema"]["openAPIV3Schema"]["properties"]


def test_our_own_definitions_lack_nothing():
    assert [definitions.lack(each, each) for each in definitions.wanted()] == [""] * 8


def test_kinds_of_others_are_not_looked_at():
    assert not [each for each in definitions.wanted() if "appbindings" in each["metadata"]["name"]]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "is not installed"),
        (changed(lambda v: v.update(served=False)), "does not serve version v1beta1"),
        (changed(lambda v: schema(v)["status"]["properties"].pop("phase")), "no status.phase,"),
        (
            changed(
                lambda v: schema(v)["spec"]["properties"]["members"]["items"]["properties"].pop(
                    "target"
                )
            ),
            "no spec.members[].target,",
        ),
        (changed(lambda v: v.pop("schema")), "no apiVersion, kind, metadata and 2 more,"),
    ],
)
def test_what_is_lacking_is_named_with_the_remedy(found, words):
    said = definitions.lack(BATCHES, found)
    assert said.startswith("CustomResourceDefinition backupbatches.stash.appscode.com ")
    assert words in said
    assert said.endswith("run: kubectl apply -k crds/")


def test_a_definition_that_keeps_what_it_does_not_know_lacks_nothing():
    def keep(version):
        version["schema"]["openAPIV3Schema"] = {"x-kubernetes-preserve-unknown-fields": True}

    assert definitions.lack(BATCHES, changed(keep)) == ""


def test_a_definition_with_more_than_ours_lacks_nothing():
    def more(version):
        schema(version)["status"]["properties"]["news"] = {"type": "string"}

    assert definitions.lack(BATCHES, changed(more)) == ""
