"""Spanish, as far as grammar and libraries carry."""

from __future__ import annotations

import pytest

from support.dialogues import say, talk
from voicefleet_dialogue import locale
from voicefleet_dialogue.acts import Say, Transfer
from voicefleet_dialogue.dialogue import Dialogue

pytestmark = pytest.mark.unit


def spoken(dialogue: Dialogue, heard: str) -> str:
    return " ".join(act.text for act in say(dialogue, heard) if isinstance(act, Say))


def test_both_languages_have_the_same_words() -> None:
    english, spanish = locale.load("en-US").data, locale.load("es-ES").data
    assert set(english) == set(spanish)
    assert set(english["say"]) == set(spanish["say"])
    assert list(english["intents"]) == list(spanish["intents"])


def test_a_booking() -> None:
    dialogue, calendar = talk("dentist", locale="es-US", greeting="Hola, ¿en qué puedo ayudarle?")
    assert spoken(dialogue, "Hola, quiero pedir una cita") == "¿Me dice su nombre, por favor?"
    assert "teléfono" in spoken(dialogue, "Me llamo Ana García")
    assert "Qué día" in spoken(dialogue, "cuatro uno cinco cinco cinco cinco cero uno cuatro dos")
    assert "martes 1 de diciembre a las 15:30" in spoken(
        dialogue, "el martes de la semana que viene a las tres y media de la tarde"
    )
    assert "Hecho" in spoken(dialogue, "sí, por favor")
    assert f"{calendar.entries[0].starts:%Y-%m-%d %H:%M}" == "2026-12-01 15:30"
    assert calendar.entries[0].name == "Ana García"
    assert calendar.entries[0].phone == "+14155550142"


@pytest.mark.parametrize(
    ("profession", "heard", "acts"),
    [
        ("doctor", "Me duele mucho el pecho.", Say),
        ("doctor", "Creo que es un infarto.", Say),
        ("dentist", "No para de sangrar.", Say),
        ("dentist", "Mi mujer se ha desmayado.", Say),
        ("electrician", "Sale humo del enchufe.", Say),
        ("hvac", "Huele a gas en la cocina.", Say),
        ("plumber", "Se me ha reventado una tubería.", Transfer),
        ("veterinarian", "Han atropellado a mi perro.", Transfer),
        ("dentist", "Se me ha caído un diente.", Transfer),
    ],
)
def test_an_emergency_is_understood(profession: str, heard: str, acts: type) -> None:
    dialogue, _ = talk(profession, locale="es-US", greeting="Hola.")
    assert isinstance(say(dialogue, heard)[-1], acts)
    assert dialogue.outcome.result == "Emergency"


@pytest.mark.parametrize(
    "heard", ["No, no me duele el pecho.", "No es una emergencia, solo quiero una cita."]
)
def test_what_is_denied_is_no_emergency(heard: str) -> None:
    dialogue, _ = talk("dentist", locale="es-US", greeting="Hola.")
    say(dialogue, heard)
    assert dialogue.outcome.result != "Emergency"


def test_emergency_fact_and_hours() -> None:
    fact = {"topic": "aparcamiento", "text": "El aparcamiento es gratuito."}
    dialogue, _ = talk("dentist", locale="es-ES", greeting="Hola.", facts=[fact])
    assert "El aparcamiento es gratuito." in spoken(dialogue, "¿Tienen parking?")
    assert "de lunes a viernes de 8:00 a 18:00" in spoken(dialogue, "¿qué horario tienen?")
    assert "servicios de emergencia" in spoken(dialogue, "mi hijo no puede respirar")
    assert dialogue.outcome.result == "Emergency"


def test_keys_mean_the_same() -> None:
    dialogue, calendar = talk("dentist", locale="es-US", greeting="Hola, ¿en qué puedo ayudarle?")

    def press(keys: str) -> str:
        acts = dialogue.commit(dialogue.press(keys))
        return " ".join(act.text for act in acts if isinstance(act, Say))

    assert "cero para hablar con una persona" in press("5")
    assert "Abrimos de lunes a viernes" in press("2")
    assert "nombre" in press("1")
    say(dialogue, "Me llamo Ana García")
    assert "Qué día" in press("4155550142#")
    say(dialogue, "la semana que viene")
    assert "a las 12:00" in press("3")
    assert "Hecho" in press("1")
    assert [entry.phone for entry in calendar.entries] == ["+14155550142"]
    assert press("0") == "Un momento, le conecto."
