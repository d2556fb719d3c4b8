"""Which folders are which packages; all else about the project is in `pyproject.toml`."""

from setuptools import find_packages, setup

APPS = {"medseg_app": "apps/review", "medseg_viewer": "apps/viewer"}

setup(
    packages=[
        *find_packages(include=["medseg", "medseg.*"]),
        *APPS,
        *(f"{name}.{inner}" for name, folder in APPS.items() for inner in find_packages(folder)),
    ],
    package_dir=APPS,
    include_package_data=False,  # what the source distribution holds besides is not for the wheel
    package_data={
        "medseg": ["py.typed", "config/profiles/*.yaml", "core/data/*", "deid/data/*"],
        "medseg_app": [".streamlit/*.toml", "ui/*.css"],
        "medseg_viewer": ["assets/*"],
    },
)
